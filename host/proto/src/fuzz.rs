//! The body of the fuzz target, here so that the ordinary tests run it too.
