//! Payroll files: reading them into lines, and generating them.
