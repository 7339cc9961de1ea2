//! Test guest `stamp`, build 1: see [`test_stamp::Stamp`].

innkeeper_recipe::recipe!(test_stamp::Stamp<1>);
