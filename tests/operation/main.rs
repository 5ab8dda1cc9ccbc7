//! What an operator meets with the real process: refusals to start, listeners, levels of the log.

mod levels;
mod listeners;
mod refusals;
