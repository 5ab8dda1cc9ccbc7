//! What an operator meets with the real process: refusals to start, listeners, log levels, full disks, damage.

mod damage;
mod described;
mod full_disk;
mod levels;
mod listeners;
mod orphans;
mod quotas;
mod refusals;
