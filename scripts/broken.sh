#!/usr/bin/env bash
# Shows that a guard is needed. Builds the host with one guard taken out (`innkeeper_break`, see
# the code) and runs the test that must then fail. Succeeds if it does.
#
#   scripts/broken.sh NAME [cargo test arguments]   one guard
#   scripts/broken.sh all                           every guard, each with its test
#
# It builds into target/broken, so that no broken binary is left where others look for the real
# one. Only our own crates see the flag, through a compiler wrapper with a name of its own for each
# guard. So dependencies are built once for all guards. This takes --workspace: another selection of
# packages has other features and builds wasmtime anew.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
export INNKEEPER_GUEST_MODULES=${INNKEEPER_GUEST_MODULES:-$target/guest-modules}

run() {
    local name=$1
    shift
    local wrapper=$target/broken/wrappers/$name
    mkdir -p "$(dirname "$wrapper")"
    printf '#!/bin/sh\nexec "$@" --cfg '"'"'innkeeper_break="%s"'"'"'\n' "$name" >"$wrapper"
    chmod +x "$wrapper"
    export CARGO_TARGET_DIR=$target/broken RUSTC_WORKSPACE_WRAPPER=$wrapper
    # A build that fails shows nothing about the guard.
    cargo test --no-run "$@"
    if cargo test "$@"; then
        echo "broken.sh: without the guard \"$name\" the tests still pass: $*" >&2
        return 1
    fi
    echo "broken.sh: without the guard \"$name\" the tests fail, as they should"
}

case ${1:-} in
'')
    sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'
    exit 2
    ;;
all)
    failed=0
    (run log-sync --workspace --test power a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged) || failed=1
    (run log-sync --workspace --test power what_was_acknowledged_survives_any_death_during_slow_syncs) || failed=1
    (run log-sync --workspace --test deaths nothing_acknowledged_is_lost_whatever_happens_to_the_node) || failed=1
    (run log-sync --workspace --test cluster every_operation_is_applied_once_and_in_order_whatever_happens) || failed=1
    (run early-ack --workspace --test cluster every_operation_is_applied_once_and_in_order_whatever_happens) || failed=1
    (run early-resend --workspace --test cluster every_operation_is_applied_once_and_in_order_whatever_happens) || failed=1
    (run follower-bounds --workspace --test cluster every_operation_is_applied_once_and_in_order_whatever_happens) || failed=1
    (run pre-vote --workspace --test cluster one_that_was_away_deposes_no_leader) || failed=1
    (run handover --workspace --test handover a_leader_that_nobody_can_dial_hands_over) || failed=1
    (run told-address --workspace --test dials a_member_is_dialed_where_it_says_that_it_is) || failed=1
    (run stand-down --workspace --test handover a_leader_whose_successor_is_not_elected_leads_again) || failed=1
    (run purge-hold --workspace --test bulk what_a_snapshots_target_needs_afterwards_is_not_purged_meanwhile) || failed=1
    (run hold-bound --workspace --test bulk a_transfer_that_holds_too_much_of_the_log_ends_and_begins_anew) || failed=1
    (run kept-voter --workspace --test membership a_replaced_voter_counts_until_its_successor_votes) || failed=1
    (run emptied-answer --workspace --test wiped a_sign_of_life_that_waited_for_an_emptied_folder_counts_for_nothing) || failed=1
    (run wiped-vote --workspace --test wiped a_wiped_voter_does_not_help_to_elect_a_leader_that_has_less) || failed=1
    (run command-bound --workspace --test bounds every_kind_straddles_the_bound) || failed=1
    (run checkpoint-limit --workspace --test snapshot a_checkpoint_never_goes_beyond_what_the_log_has_flushed) || failed=1
    (run ack-in-transaction --workspace --test exactly_once ten_thousand_events_are_counted_exactly_once_over_twenty_kills) || failed=1
    (run activation-check --workspace --test swaps a_hundred_swaps_under_load_have_one_change_over_each) || failed=1
    (run policy-check --workspace --test flips no_write_slips_past_a_thousand_policy_flips) || failed=1
    (run fresh-denial --workspace --test whole_cluster a_denial_by_an_old_policy_is_decided_again_by_the_newest) || failed=1
    (run watch-lock --workspace --test watches every_watch_gets_its_event_or_the_data_never_changed) || failed=1
    (run host-work-fuel --workspace --test host_work what_a_host_call_does_costs_fuel) || failed=1
    (run host-work-deadline --workspace --test host_work an_invocation_is_over_by_the_clock_and_what_it_did_is_told) || failed=1
    (run compile-limits --workspace --test compile a_child_that_takes_too_much_memory_ends_alone) || failed=1
    (run follower-reacts --workspace --test whole_cluster each_event_is_counted_once_while_leaders_die_and_only_leaders_react) || failed=1
    (run stale-expiry --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run cut-off-closes --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run cut-off-closes --workspace --test whole_cluster a_connection_that_wakes_up_first_in_a_node_that_was_stopped_answers_nothing) || failed=1
    (run told-silence --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run told-silence --workspace --test whole_cluster whoever_is_answered_after_a_silence_keeps_the_session) || failed=1
    (run told-silence --workspace --test whole_cluster what_is_sent_after_an_expiry_is_not_answered_by_a_node_that_lags) || failed=1
    (run install-closes --workspace --lib what_relies_on_every_event_ends_when_the_state_is_replaced) || failed=1
    (run install-closes --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run sync-quorum --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run ack-in-transaction --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run policy-check --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run follower-reacts --workspace --test whole_cluster clients_see_one_service_whatever_happens_to_its_nodes) || failed=1
    (run fair-order --workspace --lib a_modest_guest_waits_for_two_slices_of_a_hundred_loops_and_not_for_a_hundred) || failed=1
    exit "$failed"
    ;;
*)
    run "$@"
    ;;
esac
