//! Test guest `stamp`, build 2: see [`test_support::Stamp`].

innkeeper_recipe::recipe!(test_support::Stamp<2>);
