//! Test guest `stamp`, build 2: see [`test_stamp::Stamp`].

innkeeper_recipe::recipe!(test_stamp::Stamp<2>);
