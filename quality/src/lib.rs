//! Code quality requirements of the specification.
