package backplane

// simfault names a way in which a build with the tag simfault can break itself, as server/broker's
// can: the simulation of a cluster, which is there, must notice. Other builds have no trace of it.
type simfault string

const (
	simLostDelta     simfault = "lost-delta"     // changes of interest are not sent
	simForgottenWant simfault = "forgotten-want" // a pattern of another node is not routed to
	simTakenTwice    simfault = "taken-twice"    // a publish that came before is delivered again
	simHastyAnswer   simfault = "hasty-answer"   // nobody is waited for
	simWithheldCount simfault = "withheld-count" // a loss is told as one publish too few
	simForgottenHole simfault = "forgotten-hole" // a loss is not counted
	simWrongReceipt  simfault = "wrong-receipt"  // a subscriber too many is told of
	simLostReceipts  simfault = "lost-receipts"  // receipts are not sent
	simKeptWant      simfault = "kept-want"      // a pattern that is gone is routed to
	simHastyEnd      simfault = "hasty-end"      // a node is gone after one heartbeat
	simHastyRival    simfault = "hasty-rival"    // another of its name displaces a node early
	simKeptInterest  simfault = "kept-interest"  // others are not told that a subscription ended
)
