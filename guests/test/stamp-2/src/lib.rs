//! Test guest `stamp`, build 2: see [`test_support::Stamp`].

innkeeper_guest::recipe!(test_support::Stamp<2>);
