package broker

// simfault names a way in which a build with the tag simfault can break itself. Other builds have
// no trace of it.
type simfault string

const (
	simLostAnswer      simfault = "lost-answer"      // an answer never reaches its requester
	simDoubleAnswer    simfault = "double-answer"    // a request is answered twice
	simMiscountedGap   simfault = "miscounted-gap"   // a notice tells of one loss too many
	simMisplacedNotice simfault = "misplaced-notice" // a loss at the front is told at the end
	simForgottenResume simfault = "forgotten-resume" // a paused publisher is not read on
	simLeakedCharge    simfault = "leaked-charge"    // a request that has waited stays charged
	simSkippedLimit    simfault = "skipped-limit"    // a message escapes the rate limits
	simEndlessTurn     simfault = "endless-turn"     // a loop does not give way
	simEndlessEnd      simfault = "endless-end"      // what ends at once does so in one turn
	simUnfairLane      simfault = "unfair-lane"      // a requester is served twice in a row
	simCountedAbsence  simfault = "counted-absence"  // the loop's own absence counts as silence
	simStaleList       simfault = "stale-list"       // a list is shared after a change
	simSkippedCheck    simfault = "skipped-check"    // a message escapes the permissions
	simStaleRules      simfault = "stale-rules"      // a subscription outlives its permission
	simHastySlot       simfault = "hasty-slot"       // who awaits something is closed at its slot
	simDeafMute        simfault = "deaf-mute"        // what a muted connection sends is taken
	simLeftBehind      simfault = "left-behind"      // a publish outlives its subscription's end
	simUntoldMiss      simfault = "untold-miss"      // a loss between nodes is not told to somebody
	simLateExpiry      simfault = "late-expiry"      // who has expired stays
	simUnmadeOrder     simfault = "unmade-order"     // what an operator has ended goes on
)

var simfaults = []simfault{
	simLostAnswer, simDoubleAnswer, simMiscountedGap, simMisplacedNotice,
	simForgottenResume, simLeakedCharge, simSkippedLimit, simEndlessTurn, simEndlessEnd,
	simUnfairLane, simCountedAbsence, simStaleList, simSkippedCheck, simStaleRules,
	simHastySlot, simDeafMute, simLeftBehind,
}
