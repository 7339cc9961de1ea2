//! Test guest `stamp`, build 1: see [`test_support::Stamp`].

innkeeper_guest::recipe!(test_support::Stamp<1>);
