//! What happens to events.
