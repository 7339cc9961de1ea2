//! What a server of ZooKeeper's protocol MUST do, each with the test that shows it. This module holds no code: the
//! list stands here so that one page says what clients rely on, and `tests/house/protocol.rs` sees to it that every
//! MUST in it (and anywhere else in the code) cites a test that exists. (test:
//! `every_must_of_the_protocol_cites_a_test_that_exists`)
//!
//! The source of each is Apache ZooKeeper 3.9.5 itself, by observation: the client suite in `tests/kazoo` and the
//! golden scripts of `host/tree/tests/scripts/client` run against it unchanged, and the oracle in `tests/oracle`
//! compares the two servers answer by answer.
//!
//! # Frames and messages
//!
//! - A frame is a length of four bytes, big-endian, and that many bytes; a negative length or one above
//!   `jute.maxbuffer` MUST end the connection, before the frame's bytes have come. (tests:
//!   `lengths_outside_the_limit_are_errors`, `test_a_frame_above_the_limit_is_not_even_read`)
//! - A server MUST take frames however the network cuts and joins them. (tests: `a_frame_may_come_byte_by_byte`,
//!   `test_frames_cut_anywhere_are_put_together`, `test_a_thousand_requests_in_one_packet`)
//! - Every message MUST have exactly the bytes of ZooKeeper's own classes. (tests: `requests_match_kazoos_bytes`,
//!   `replies_match_zookeepers_own_bytes`, `extended_requests_match_zookeepers_own_bytes`,
//!   `extended_replies_match_zookeepers_own_bytes`, `handshakes_match_the_golden_bytes`)
//! - Bytes behind the last known field of a request MUST be ignored. (test: `bytes_behind_a_request_are_ignored`)
//! - Null data MUST stay null, and empty data empty. (tests: `null_data_is_not_empty_data`, `test_null_is_not_empty`)
//! - No input MUST make the decoder panic, or allocate or compute out of proportion to its size. (tests:
//!   `decode_anything_holds_for_200_000_inputs`, `decoding_allocates_in_proportion_to_its_input`,
//!   `every_primitive_consumes_what_it_reads`)
//! - A four-letter word MUST be recognised in the first four bytes of a connection and nowhere else, and answered only
//!   if the whitelist has it. (tests: `words_are_only_words_at_the_start`, `words_are_answered_if_they_are_on_the_list`)
//!
//! # Sessions
//!
//! - The timeout MUST be clamped to what the configuration allows, 2 to 20 ticks by default. (test:
//!   `timeouts_are_clamped_to_2_and_20_ticks`)
//! - A connect request that names a session and its password MUST take the session over, and its old connection MUST be
//!   closed. (tests: `a_session_is_taken_over_by_id_and_password_and_its_old_connection_is_closed`,
//!   `test_reattach_keeps_the_ephemerals_and_ends_the_old_connection`)
//! - A wrong password or an unknown session MUST be answered with session 0, timeout 0 and a password of zeroes. (test:
//!   `a_wrong_password_or_an_unknown_session_gets_zeroes_and_the_end`)
//! - The handshake's readOnly byte MUST be answered only to those who sent it. (tests:
//!   `read_only_is_answered_only_to_those_who_sent_it`, `the_read_only_byte_is_answered_only_to_those_who_sent_it`)
//! - A client that has seen a higher zxid than this server MUST be sent away. (tests:
//!   `a_client_that_has_seen_the_future_is_sent_away`, `test_a_client_that_has_seen_the_future_is_refused`)
//! - zxids MUST never regress, over restarts either. (test: `sessions_and_zxids_survive_a_restart`)
//! - A session that is silent for its timeout MUST expire, with its ephemerals and not before; every request MUST keep
//!   it alive, failing ones and one that arrives slowly included. (tests:
//!   `a_silent_session_expires_with_its_ephemerals_and_its_connection`,
//!   `pings_and_requests_keep_a_session_and_a_reattach_in_time_does_too`,
//!   `a_request_that_arrives_slowly_keeps_its_session_alive`)
//! - Credentials MUST NOT keep a session alive. (test: `credentials_keep_no_session_alive`)
//! - A closed session's ephemerals MUST go with it, and the answer to the close MUST be the last. (tests:
//!   `test_ephemerals_go_with_a_closed_session`, `pings_carry_the_last_zxid_sent_and_close_is_the_last_answer`)
//!
//! # Order
//!
//! - Requests of one session MUST be answered in the order in which they came, failures included. (tests:
//!   `failed_writes_answer_in_their_place`, `test_pipelined_requests_answer_in_order`)
//! - A read MUST see the session's own earlier writes. (test:
//!   `pipelined_reads_see_what_was_written_before_them_and_nothing_later`)
//! - A client MUST see an event before the data that caused it. (tests:
//!   `the_event_is_seen_before_the_new_data_on_every_interleaving`, `test_an_event_comes_before_the_data_that_caused_it`)
//! - A write MUST NOT be acknowledged before it is durable. (test: `every_acknowledged_write_survives_twenty_kills`)
//! - A sync MUST be answered after everything committed before it is visible here. (test:
//!   `test_sync_answers_after_earlier_writes`)
//! - A body that cannot be read MUST be answered with MarshallingError, and the connection stays. (test:
//!   `a_body_that_cannot_be_read_is_answered_and_the_connection_stays`)
//!
//! # Znodes
//!
//! - Every operation MUST check in ZooKeeper's order, so that it fails with ZooKeeper's code. (scripts `create`,
//!   `delete`, `set_data`, `acl`; tests: `clients_see_what_the_model_says`,
//!   `test_errors_of_missing_and_existing_znodes`)
//! - A sequence number MUST count every child ever created, sequential or not, and deletes MUST NOT take it back. (test:
//!   `test_sequences_count_every_child_ever_created`)
//! - All of a multi MUST happen at one zxid, or nothing. (tests: `test_all_operations_at_one_zxid`,
//!   `test_a_failure_undoes_everything`)
//! - A failed multi's header MUST say 0, its results 0 before the operation at fault, that one's code, and -2 behind it.
//!   (tests: `test_the_bytes_of_a_failure`, `a_multi_answers_each_operation_in_its_own_way`)
//! - `/zookeeper/config` MUST show the members of the group in the form that ZooKeeper's clients parse, and its watches
//!   MUST fire with every change. (tests: `every_node_shows_the_configuration_in_zookeepers_znode`,
//!   `the_configuration_is_the_data_of_zookeepers_znode_and_its_watches_fire`)
//! - check MUST be refused outside a multi. (tests: `unknown_operations_and_check_alone_are_unimplemented`,
//!   `test_check_is_for_transactions_only`)
//! - An ephemeral MUST carry its session in the Stat; a container and a TTL znode MUST go as their kind says. (tests:
//!   `test_ephemeral_carries_its_owner`, `an_outlived_znode_goes_and_one_that_is_set_stays`,
//!   `a_container_goes_with_its_last_child_and_not_before_its_first`)
//! - TTL modes MUST be Unimplemented unless `extendedTypesEnabled` says otherwise. (tests:
//!   `times_to_live_are_refused_where_they_are_not_enabled`, `times_to_live_are_served_where_they_are_enabled`)
//! - A hard quota MUST refuse with QuotaExceeded where quotas are enforced, and the deepest quota alone MUST count.
//!   (tests: `hard_limits_refuse_and_soft_ones_are_reported`, `only_the_deepest_quota_counts_a_change`,
//!   `statistics_agree_with_a_recount`)
//! - A multiRead MUST answer each read by itself, with its own error. (test:
//!   `a_multi_read_answers_each_read_by_itself`)
//!
//! # Watches
//!
//! - A one-shot watch MUST fire once, and a failed read MUST leave none but exists'. (tests:
//!   `each_kind_of_watch_fires_once_for_what_it_watches`, `test_a_failed_read_leaves_no_watch`)
//! - A session MUST hear of one change of a znode once, whatever kinds of watches it has there. (tests:
//!   `test_one_session_hears_one_event_for_data_and_exists`, `test_deletion_tells_data_and_child_watchers_once`)
//! - An event MUST be withheld from whom the znode's ACL hides it. (test:
//!   `an_event_is_withheld_from_whom_the_acl_of_that_moment_hides_it`)
//! - setWatches MUST tell what was missed since relativeZxid and watch the rest again. (tests:
//!   `set_watches_tells_what_was_missed_and_watches_the_rest`, `a_long_set_watches_comes_as_the_socket_drains`)
//!
//! - setWatches2 MUST set persistent watches again, too. (test: `set_watches_2_sets_persistent_watches_again`)
//! - A persistent watch MUST hear of every change until it is removed; a recursive one MUST hear of all below it and of
//!   no list of children. (tests: `a_persistent_watch_hears_of_everything_again_and_again`,
//!   `a_recursive_watch_hears_of_all_below_and_of_no_list_of_children`)
//! - checkWatches and removeWatches MUST answer NoWatcher where there is none of that kind, and the server sends no event
//!   of a removal: client libraries make it themselves. (tests:
//!   `the_kinds_of_watches_are_checked_and_removed_one_by_one`, `removing_a_watch_sends_no_event`)
//! - A client that does not read the events of its persistent watches MUST NOT take the node's memory: it is closed, and
//!   nobody else. (test: `a_client_that_does_not_read_its_persistent_events_is_closed_and_nobody_else`)
//!
//! # Access
//!
//! - A permission MUST be needed for each operation as in ZooKeeper. (test: `test_each_permission_guards_its_operations`)
//! - A write MUST NOT be denied by what another client was told to be changed, at any node of a group. (tests:
//!   `a_denial_by_an_old_policy_is_decided_again_by_the_newest`, `a_node_without_its_quorum_denies_nothing`)
//! - getACL MUST mask the hashes of digests for who lacks ADMIN. (test: `test_hashes_are_masked_for_who_is_not_admin`)
//! - Credentials that prove nothing MUST be answered with AuthFailed, and end the connection. (test:
//!   `credentials_that_prove_nothing_are_refused_and_the_connection_ends`)
//! - An ACL of a scheme that the server does not serve MUST be InvalidACL, in that check's place. (test:
//!   `an_acl_of_a_scheme_that_is_not_served_is_invalid_in_its_place`)
//! - SASL DIGEST-MD5 MUST prove the identity that ACLs of the scheme sasl name; a failed exchange MUST end the
//!   connection unless the configuration lets it pass. (tests: `sasl_proves_an_identity`,
//!   `a_failed_exchange_ends_the_connection`, `a_failed_exchange_may_be_let_pass`)
//! - Where authentication is demanded, nothing MUST be served before it. (tests:
//!   `without_the_demanded_authentication_nothing_is_served`, `any_of_the_demanded_schemes_will_do`)
//! - A client certificate MUST be believed where Java's trust manager believes it, and its subject is the identity of the
//!   scheme x509. (tests: `certificates_are_believed_where_java_believes_them`, `names_are_javas`,
//!   `a_session_over_tls_is_its_certificates_subject`)
//!
//! # Limits
//!
//! - `globalOutstandingLimit` MUST hold over all connections, and no connection MUST be able to use it up for the others.
//!   (test: `a_greedy_client_does_not_hold_up_a_modest_one`)
//! - Three or more voters MUST share it as ZooKeeper's do. (test:
//!   `the_voters_share_the_limit_on_outstanding_requests_as_zookeepers_do`)
//! - `jute.maxbuffer` MUST NOT bound answers: who wants to delete many children has to list them. What is longer than
//!   the node's own limit for answers MUST be MarshallingError, not a dead connection, and clients that do not read long
//!   answers MUST NOT take the node's memory. (tests: `answers_may_be_longer_than_jute_maxbuffer`,
//!   `an_answer_longer_than_the_longest_is_an_error`,
//!   `clients_that_do_not_read_long_answers_hold_up_nobody`)
//! - `maxClientCnxns` and `maxCnxns` MUST bound the connections of one address and of all. (tests:
//!   `an_address_has_so_many_connections_and_no_more`, `all_addresses_together_have_so_many_connections`)
//! - A local session MUST NOT enter the log before it writes, and MUST NOT have ephemerals unless it may be upgraded.
//!   (tests: `a_local_session_costs_no_command_until_it_writes`, `a_local_session_has_no_ephemerals`,
//!   `a_local_session_is_upgraded_for_its_ephemerals_where_that_is_allowed`)
//! - A node without a quorum MUST refuse writes with NotReadOnly, and MUST serve reads only to those who agreed. (tests:
//!   `a_node_without_its_quorum_serves_reads_to_those_who_agreed`,
//!   `without_read_only_mode_a_node_without_its_quorum_serves_nobody`)
