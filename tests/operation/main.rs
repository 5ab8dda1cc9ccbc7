//! What an operator meets with the real process: refusals to start, listeners, log levels, full disks, damage.

mod damage;
mod full_disk;
mod levels;
mod listeners;
mod refusals;
