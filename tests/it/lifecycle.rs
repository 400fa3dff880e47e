//! A relay in the course of time.
