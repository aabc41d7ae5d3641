//! Property tests of `lwk-logic`.
