package server

// fault names a way in which a build with the tag simfault can break itself. Other builds have no trace of it.
type fault string

const (
	faultLostEnvelope    fault = "lost-envelope"    // an answer does not reach the requester's loop
	faultDoubleAnswer    fault = "double-answer"    // a request is answered twice
	faultMiscountedGap   fault = "miscounted-gap"   // a notice tells of one loss too many
	faultMisplacedNotice fault = "misplaced-notice" // what the front of a backlog lost is told at its end
	faultForgottenResume fault = "forgotten-resume" // a paused publisher is not read on
	faultLeakedCharge    fault = "leaked-charge"    // a request that has waited stays charged
	faultSkippedLimit    fault = "skipped-limit"    // a message is not held against the rate limits
	faultUnfairLane      fault = "unfair-lane"      // a requester is served twice in a row
)

var faults = []fault{faultLostEnvelope, faultDoubleAnswer, faultMiscountedGap, faultMisplacedNotice, faultForgottenResume,
	faultLeakedCharge, faultSkippedLimit, faultUnfairLane}
