//! What an operator meets with the real process: refusals to start, listeners, log levels, full disks, damage,
//! quotas, clients' metrics.

mod broker_configs;
mod client_metrics;
mod damage;
mod described;
mod full_disk;
mod group_pace;
mod levels;
mod listeners;
mod orphans;
mod quotas;
mod refusals;
