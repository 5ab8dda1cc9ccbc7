//! The suite's tests are plain functions over a [`World`]; `contract!` makes a test of each for one world.

pub mod buffers;
pub mod files;
#[cfg(feature = "sim")]
pub mod simulated;
pub mod sockets;
pub mod uring;
pub mod wakes;
pub mod world;

#[macro_export]
macro_rules! contract {
    ($world:expr) => {
        $crate::contract!($world, files: create_write_read_back, reads_past_the_end_are_short,
            exclusive_creation_and_missing_files, rename_replaces, an_unlinked_file_lives_while_open,
            directories_list_sorted, allocation_reads_as_zeroes, truncation_cuts, large_vectored_writes,
            stale_file_ids_are_refused, close_waits_for_what_is_in_flight, files_move_between_rings,
            free_space_is_told, a_name_with_a_nul_is_refused);
        $crate::contract!($world, sockets: accepts_and_echoes, half_close_is_an_empty_receive,
            a_reset_is_an_error, a_large_send_is_whole_and_in_order, many_slices_end_in_a_partial_send,
            receives_into_spare_capacity, close_settles_what_is_in_flight, a_closed_listener_refuses,
            slots_are_reused_under_new_ids, a_used_port_is_refused, shutdown_ends_one_direction,
            sockets_move_between_rings, addresses_are_told);
        $crate::contract!($world, buffers: a_starved_receive_waits_for_a_buffer,
            buffers_come_back_from_other_threads, idle_connections_hold_no_buffer,
            memory_given_back_is_never_a_holders);
        $crate::contract!($world, wakes: a_wake_before_the_wait_ends_it, the_wait_ends_by_itself,
            rings_wake_each_other);
    };
    ($world:expr, $module:ident: $($name:ident),* $(,)?) => {
        mod $module {
            use super::*;
            $(#[test] fn $name() { suite::$module::$name(&mut $world) })*
        }
    };
}
