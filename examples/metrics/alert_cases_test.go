package main

// alertCases are what each rule is tried with. All series are of one process unless it
// matters.
var alertCases = map[string][]alertCase{
	"HarelineUnroutable": {
		{"one message", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="returned",messaging_destination_name="events"} 0x5 1x5
hareline_publish_outcomes_total{job="shop",hareline_outcome="confirmed",messaging_destination_name="events"} 0+9x11`,
			[]string{"shop publishes messages to events that no queue is bound for (critical)"}},
		{"none", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="returned",messaging_destination_name="events"} 0x11
hareline_publish_outcomes_total{job="shop",hareline_outcome="confirmed",messaging_destination_name="events"} 0+9x11`, nil},
		{"long ago", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="returned",messaging_destination_name="events"} 0x5 1x20`, nil},
	},
	"HarelinePublishesRefused": {
		{"one message", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="refused",messaging_destination_name="events"} 0x5 1x5`,
			[]string{"shop publishes messages to events that are refused (critical)"}},
		{"none", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="refused",messaging_destination_name="events"} 1x11`, nil},
	},
	"HarelinePublishesFailing": {
		{"a tenth", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="nacked",messaging_destination_name="events"} 0+3x15
hareline_publish_outcomes_total{job="shop",hareline_outcome="unknown",messaging_destination_name="events"} 0+3x15
hareline_publish_outcomes_total{job="shop",hareline_outcome="confirmed",messaging_destination_name="events"} 0+54x15`,
			[]string{"10% of the publishes of shop to events are not confirmed (warning)"}},
		{"one of a hundred", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="nacked",messaging_destination_name="events"} 0+1x15
hareline_publish_outcomes_total{job="shop",hareline_outcome="confirmed",messaging_destination_name="events"} 0+99x15`, nil},
		{"nothing is published", `
hareline_publish_outcomes_total{job="shop",hareline_outcome="nacked",messaging_destination_name="events"} 3x15
hareline_publish_outcomes_total{job="shop",hareline_outcome="confirmed",messaging_destination_name="events"} 50x15`, nil},
	},
	"HarelinePublishesStalled": {
		{"nothing ends", `
hareline_publish_in_flight{job="shop",instance="a",messaging_destination_name="events"} 0x5 7x12
hareline_publish_outcomes_total{job="shop",instance="a",hareline_outcome="confirmed"} 0+9x5 45x12`,
			[]string{"a of shop waits for 7 publishes, and none comes to an end (critical)"}},
		{"some end", `
hareline_publish_in_flight{job="shop",instance="a",messaging_destination_name="events"} 7x17
hareline_publish_outcomes_total{job="shop",instance="a",hareline_outcome="confirmed"} 0+1x17`, nil},
		{"nothing is published", `
hareline_publish_in_flight{job="shop",instance="a",messaging_destination_name="events"} 0x17
hareline_publish_outcomes_total{job="shop",instance="a",hareline_outcome="confirmed"} 9x17`, nil},
	},
	"HarelineWindowFull": {
		{"two always wait", `hareline_publish_wait_seconds_sum{job="shop",instance="a",messaging_operation_name="send"} 0+120x20`,
			[]string{"Publishes (send) of a wait for a place in the window (warning)"}},
		{"now and then", `hareline_publish_wait_seconds_sum{job="shop",instance="a",messaging_operation_name="send"} 0+10x20`, nil},
	},
	"HarelineConfirmsSlow": {
		{"a tenth takes more than 10 s", `
messaging_client_operation_duration_seconds_bucket{job="shop",messaging_operation_type="send",messaging_destination_name="events",le="1"} 0+90x20
messaging_client_operation_duration_seconds_bucket{job="shop",messaging_operation_type="send",messaging_destination_name="events",le="10"} 0+90x20
messaging_client_operation_duration_seconds_bucket{job="shop",messaging_operation_type="send",messaging_destination_name="events",le="+Inf"} 0+100x20`,
			[]string{"One of a hundred publishes of shop to events takes longer than 10s (warning)"}},
		{"settling is slow", `
messaging_client_operation_duration_seconds_bucket{job="shop",messaging_operation_type="settle",messaging_destination_name="orders",le="10"} 0+90x20
messaging_client_operation_duration_seconds_bucket{job="shop",messaging_operation_type="settle",messaging_destination_name="orders",le="+Inf"} 0+100x20`, nil},
		{"fast", `
messaging_client_operation_duration_seconds_bucket{job="shop",messaging_operation_type="send",messaging_destination_name="events",le="1"} 0+100x20
messaging_client_operation_duration_seconds_bucket{job="shop",messaging_operation_type="send",messaging_destination_name="events",le="+Inf"} 0+100x20`, nil},
	},
	"HarelineBlocked": {
		{"an alarm that lasts", `hareline_link_blocked_time_seconds_total{job="shop",instance="a",hareline_role="publishing"} 0x3 0+60x10`,
			[]string{"The broker takes no messages from a of shop (critical)"}},
		{"a minute", `hareline_link_blocked_time_seconds_total{job="shop",instance="a",hareline_role="publishing"} 0x3 60x3`, nil},
	},
	"HarelineConnectionLost": {
		{"one of two", `
hareline_link_connections{job="shop",instance="a",hareline_role="publishing"} 1x3 0x3
hareline_link_connections{job="shop",instance="a",hareline_role="consuming"} 1x6`,
			[]string{"a of shop has no publishing connection to the broker (critical)"}},
		{"made again", `hareline_link_connections{job="shop",instance="a",hareline_role="publishing"} 1x3 0 1x3`, nil},
		{"the process has ended", `
hareline_link_connections{job="shop",instance="a",hareline_role="publishing"} 1x3 stale _x3
hareline_link_connections{job="shop",instance="b",hareline_role="publishing"} 1x7`, nil},
	},
	"HarelineReconnects": {
		{"every minute", `hareline_link_reconnects_total{job="shop",instance="a",hareline_role="consuming"} 0+1x15`,
			[]string{"The consuming connection of a (shop) breaks again and again (warning)"}},
		{"twice", `hareline_link_reconnects_total{job="shop",instance="a",hareline_role="consuming"} 0x5 1x5 2x5`, nil},
	},
	"HarelineNotConsuming": {
		{"paused", `
hareline_consumer_state{job="shop",instance="a",messaging_destination_name="orders",hareline_state="consuming"} 1x3 0x7
hareline_consumer_state{job="shop",instance="a",messaging_destination_name="orders",hareline_state="paused"} 0x3 1x7`,
			[]string{"Queue orders: the consumer of a is paused (critical)"}},
		{"for a moment", `
hareline_consumer_state{job="shop",instance="a",messaging_destination_name="orders",hareline_state="disconnected"} 0x3 1x3 0x4`, nil},
		{"stopped", `
hareline_consumer_state{job="shop",instance="a",messaging_destination_name="orders",hareline_state="stopped"} 1x10`, nil},
	},
	"HarelineHeldAside": {
		{"held", `hareline_consumer_state{job="shop",instance="a",messaging_destination_name="orders",hareline_state="held-aside"} 0x3 1x3`,
			[]string{"Queue orders: a holds a message that it can neither copy nor dead-letter (critical)"}},
		{"no more", `hareline_consumer_state{job="shop",instance="a",messaging_destination_name="orders",hareline_state="held-aside"} 1x3 0x3`, nil},
	},
	"HarelineHandlerStuck": {
		{"two", `hareline_watchdog_active{job="shop",instance="a",messaging_destination_name="orders",hareline_finding="stuck"} 0x3 2x3`,
			[]string{"Queue orders: 2 handlers of a do not come to an end (critical)"}},
		{"something else", `hareline_watchdog_active{job="shop",instance="a",messaging_destination_name="orders",hareline_finding="unsettled"} 2x6`, nil},
	},
	"HarelineConsumerForgotten": {
		{"for good", `hareline_watchdog_active{job="shop",instance="a",messaging_destination_name="orders",hareline_finding="forgotten"} 0x3 1x3`,
			[]string{"Queue orders: the broker does not know the consumer of a (critical)"}},
		{"mended at once", `hareline_watchdog_active{job="shop",instance="a",messaging_destination_name="orders",hareline_finding="forgotten"} 0x3 1 0x3`, nil},
	},
	"HarelineUnsettledGrows": {
		{"lasts", `hareline_watchdog_active{job="shop",instance="a",messaging_destination_name="orders",hareline_finding="unsettled"} 0x3 1x3`,
			[]string{"Queue orders: a settles nothing of what it keeps (warning)"}},
		{"over", `hareline_watchdog_active{job="shop",instance="a",messaging_destination_name="orders",hareline_finding="unsettled"} 1x3 0x3`, nil},
	},
	"HarelineRedeliveries": {
		{"a quarter", `
hareline_process_redelivered_total{job="shop",messaging_destination_name="orders"} 0+25x25
messaging_client_consumed_messages_total{job="shop",messaging_destination_name="orders",messaging_operation_name="process"} 0+100x25`,
			[]string{"Queue orders: 25% of the deliveries were made before (warning)"}},
		{"one restart", `
hareline_process_redelivered_total{job="shop",messaging_destination_name="orders"} 0x5 100x20
messaging_client_consumed_messages_total{job="shop",messaging_destination_name="orders",messaging_operation_name="process"} 0+200x25`, nil},
	},
	"HarelineSettlesLate": {
		{"copies take a minute", `
hareline_settle_latency_seconds_bucket{job="shop",messaging_destination_name="orders",le="30"} 0+1x20
hareline_settle_latency_seconds_bucket{job="shop",messaging_destination_name="orders",le="60"} 0+100x20
hareline_settle_latency_seconds_bucket{job="shop",messaging_destination_name="orders",le="+Inf"} 0+100x20`,
			[]string{"Queue orders: acknowledgements come 59.696969696s after the handler has returned (warning)"}},
		{"at once", `
hareline_settle_latency_seconds_bucket{job="shop",messaging_destination_name="orders",le="30"} 0+100x20
hareline_settle_latency_seconds_bucket{job="shop",messaging_destination_name="orders",le="+Inf"} 0+100x20`, nil},
	},
	"HarelineBurials": {
		{"one letter", `
hareline_buried_messages_total{job="shop",messaging_destination_name="orders",hareline_reason="malformed"} 0x5 1x5
hareline_buried_messages_total{job="shop",messaging_destination_name="orders",hareline_reason="exhausted"} 0x10`,
			[]string{"Queue orders: messages are buried (malformed) (warning)"}},
		{"none", `hareline_buried_messages_total{job="shop",messaging_destination_name="orders",hareline_reason="malformed"} 3x10`, nil},
	},
	"HarelineBurialStorm": {
		{"half", `
hareline_buried_messages_total{job="shop",messaging_destination_name="orders",hareline_reason="malformed"} 0+25x15
hareline_buried_messages_total{job="shop",messaging_destination_name="orders",hareline_reason="exhausted"} 0+25x15
messaging_client_consumed_messages_total{job="shop",messaging_destination_name="orders",messaging_operation_name="process"} 0+100x15`,
			[]string{"Queue orders: 50% of what is handled is buried (critical)"}},
		{"one of a hundred", `
hareline_buried_messages_total{job="shop",messaging_destination_name="orders",hareline_reason="malformed"} 0+1x15
messaging_client_consumed_messages_total{job="shop",messaging_destination_name="orders",messaging_operation_name="process"} 0+100x15`, nil},
	},
	"HarelineRetries": {
		{"most", `
hareline_parked_delay_seconds_count{job="shop",messaging_destination_name="orders"} 0+75x30
messaging_client_consumed_messages_total{job="shop",messaging_destination_name="orders",messaging_operation_name="process"} 0+100x30`,
			[]string{"Queue orders: 75% of the attempts end on the delay ladder (warning)"}},
		{"for five minutes", `
hareline_parked_delay_seconds_count{job="shop",messaging_destination_name="orders"} 0x9 0+75x5 375x14
messaging_client_consumed_messages_total{job="shop",messaging_destination_name="orders",messaging_operation_name="process"} 0+100x30`, nil},
	},
	"HarelineQueueAlarm": {
		{"of a queue, a ladder, and the broker", `
hareline_monitor_alarm{job="shop",messaging_destination_name="orders",hareline_alarm_kind="pending",hareline_alarm_severity="warning"} 0 1x4
hareline_monitor_alarm{job="shop",hareline_ladder_name="default",hareline_alarm_kind="unclaimed",hareline_alarm_severity="warning"} 0 1x4
hareline_monitor_alarm{job="shop",hareline_alarm_kind="memory-alarm",hareline_alarm_severity="critical"} 0 1x4
hareline_monitor_alarm{job="shop",messaging_destination_name="orders",hareline_alarm_kind="unacked",hareline_alarm_severity="warning"} 1 0x4`,
			[]string{"Alarm memory-alarm  (critical)", "Alarm pending for queue orders (warning)", "Alarm unclaimed for ladder default (warning)"}},
	},
	"HarelineMonitorBlind": {
		{"the API is down", `
hareline_monitor_round_failures_total{job="shop",instance="a",error_type="api-unavailable"} 0x5 0+1x15
hareline_monitor_round_duration_seconds_count{job="shop",instance="a"} 0+1x20`,
			[]string{"The monitor in a does not see the queues (critical)"}},
		{"Run has ended", `hareline_monitor_round_duration_seconds_count{job="shop",instance="a"} 0+1x5 5x20`,
			[]string{"The monitor in a does not see the queues (critical)"}},
		{"all is well", `
hareline_monitor_round_failures_total{job="shop",instance="a",error_type="api-unavailable"} 1x20
hareline_monitor_round_duration_seconds_count{job="shop",instance="a"} 0+1x20`, nil},
	},
	"HarelineLadderLate": {
		{"overdue", `hareline_ladder_lag_seconds{job="shop",hareline_ladder_name="default"} 0x3 60+60x4`,
			[]string{"The delay ladder default is 5m0s late (critical)"}},
		{"a little", `hareline_ladder_lag_seconds{job="shop",hareline_ladder_name="default"} 3x9`, nil},
	},
	"HarelineLadderProbeFails": {
		{"again and again", `hareline_ladder_probe_failures_total{job="shop",hareline_ladder_name="default",hareline_probe_reason="missing"} 0x3 0+1x10`,
			[]string{"Probes of the delay ladder default fail (missing) (warning)"}},
		{"once", `hareline_ladder_probe_failures_total{job="shop",hareline_ladder_name="default",hareline_probe_reason="missing"} 0x3 1x10`, nil},
	},
}
