//! One binary of integration tests: a module a theme.
