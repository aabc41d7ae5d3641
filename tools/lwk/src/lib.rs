//! Shared library of the tools.
