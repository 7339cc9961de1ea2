//! Test guest `stamp`, build 1: see [`test_support::Stamp`].

innkeeper_recipe::recipe!(test_support::Stamp<1>);
