// Package permit decides who may do what (protocol §10): roles hold lists of topic patterns for
// each verb, and words for the system topics; what an identity may do is what its roles allow
// together, less what any of them denies.
//
// It is compiled once: Compile checks the roles and makes a Policy, which gives each identity its
// Rules. Rules answer three questions: may this topic be used, may this pattern be subscribed to,
// is this word held. Whoever asks for each message remembers the answer beside the topic.
//
// Reading order: policy.go (roles, identities, who gets which rules), rules.go (the questions),
// pattern.go (what a pattern covers and what it meets), word.go.
package permit
