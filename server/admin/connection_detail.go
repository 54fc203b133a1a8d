package admin

import (
	"time"

	"mbserver/server/census"
	"mbserver/server/permit"
)

// connectionDetail is one connection.
type connectionDetail struct {
	At string `json:"at"`
	connectionRow
	Subscriptions     []subscriptionRow `json:"subscriptions,omitzero"` // nil: not to be seen
	SubscriptionCount int               `json:"subscriptionCount"`
	Ring              ringRow           `json:"ring"`
	Gap               *gapRow           `json:"gap,omitempty"`
	Paused            *pausedRow        `json:"paused,omitempty"`
	Standing          standingRow       `json:"standing"`
	Memory            memoryRow         `json:"memory"`
	AnswersOwed       int               `json:"answersOwed"`
	UnparsedBytes     int               `json:"unparsedBytes"`
	SilentMs          int64             `json:"silentMs"`
	HeartbeatsAsked   int               `json:"heartbeatsAsked"`
}

type subscriptionRow struct {
	Action   string   `json:"action"`
	Topic    string   `json:"topic"`
	Priority *float64 `json:"priority,omitempty"`
	Overflow string   `json:"overflow,omitempty"`
	Conflate bool     `json:"conflate,omitempty"`
}

type ringRow struct {
	Bytes         int  `json:"bytes"`
	Messages      int  `json:"messages"`
	OwnBytes      int  `json:"ownBytes"`
	OwnMessages   int  `json:"ownMessages"`
	HeldBytes     int  `json:"heldBytes"`
	LimitBytes    int  `json:"limitBytes"`
	LimitMessages int  `json:"limitMessages"`
	Awaited       bool `json:"awaited"`
}

type gapRow struct {
	Lost      int    `json:"lost"`
	Conflated int    `json:"conflated"`
	Since     string `json:"since"`
}

type pausedRow struct {
	Reasons []string `json:"reasons"`
	Topic   string   `json:"topic,omitempty"`
}

type standingRow struct {
	Known     bool     `json:"known"`
	Anonymous bool     `json:"anonymous"`
	Required  bool     `json:"required"`
	ExpiresAt string   `json:"expiresAt,omitempty"`
	Roles     []string `json:"roles,omitzero"` // for who may see what others may do
	RateLimit int      `json:"rateLimit"`
}

type memoryRow struct {
	ChargedBytes    int64 `json:"chargedBytes"`
	RememberedBytes int64 `json:"rememberedBytes"`
}

// detailOf shows d to v, of its subscriptions those that q asks for.
func detailOf(d *census.Detail, q *listing, v *viewer, now time.Time) *connectionDetail {
	r := &d.Ring
	shown := &connectionDetail{
		At: instant(now.UnixMilli()), connectionRow: rowOf(&d.Connection, true),
		SubscriptionCount: d.SubscriptionCount,
		Ring: ringRow{
			Bytes: r.Bytes, Messages: r.Messages, OwnBytes: r.OwnBytes, OwnMessages: r.OwnMessages,
			HeldBytes: r.HeldBytes, LimitBytes: r.LimitBytes, LimitMessages: r.LimitMessages,
			Awaited: d.Parked,
		},
		Standing: standingRow{
			Known: d.Identity != "", Anonymous: d.Anonymous, Required: d.Unidentified,
			ExpiresAt: instant(d.Expires), RateLimit: d.RateLimit,
		},
		Memory:      memoryRow{ChargedBytes: d.Charged, RememberedBytes: d.Remembered},
		AnswersOwed: d.Answers, UnparsedBytes: d.Unparsed, SilentMs: d.SilentFor,
		HeartbeatsAsked: d.Heartbeats,
	}
	if g := d.Gap; g.Lost > 0 || g.Conflated > 0 {
		shown.Gap = &gapRow{Lost: g.Lost, Conflated: g.Conflated, Since: instant(g.Since)}
	}
	if len(d.Pauses) > 0 {
		shown.Paused = &pausedRow{Reasons: d.Pauses, Topic: d.PausedTopic}
	}
	if v.holds(permit.Admin) {
		shown.Standing.Roles = d.Roles
	}
	if !v.holds(permit.TopicList) {
		return shown
	}
	shown.Subscriptions = []subscriptionRow{}
	for _, sub := range d.Subscriptions[min(q.offset, len(d.Subscriptions)):] {
		row := subscriptionRow{
			Action: sub.Action, Topic: sub.Topic, Overflow: sub.Overflow, Conflate: sub.Conflate,
		}
		if sub.Action == "request" {
			row.Priority = &sub.Priority
		}
		shown.Subscriptions = append(shown.Subscriptions, row)
	}
	return shown
}
