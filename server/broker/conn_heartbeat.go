package broker

import (
	"math"

	"mbserver/codec"
	"mbserver/server/system"
)

// armHeartbeat sets the timer for the next moment at which c's silence matters. It is not touched
// per message: when it fires too early it is set again.
func (c *Conn) armHeartbeat() {
	l := c.loop
	retry, deregister := l.broker.heartbeatRetry, l.broker.heartbeatDeregister
	at := c.heard + retry*int64(c.beats+1)
	if c.beats > 0 {
		at = min(at, l.listened()+max((deregister-retry)/listenTicks, 1))
	}
	l.wheel.Add(&c.timer, min(at, c.heard+deregister)+l.absent)
}

// checkHeartbeat asks a silent service for a sign of life, and after the longer period closes it
// (protocol §8). Only time in which the loop listened to it counts.
func (c *Conn) checkHeartbeat() {
	l := c.loop
	now := l.listened()
	if c.paused != nil {
		c.heard, c.beats = now, 0 // nobody listens to it: it is a paused publisher
	}
	silent := now - c.heard
	switch {
	case silent >= l.broker.heartbeatDeregister:
		l.broker.modules.connection.Info("closed, silent for too long: "+c.name(),
			"serviceId", c.id.String(), "silentMs", silent)
		l.closeWS(c, codec.CloseGoingAway, "no heartbeat")
		return
	case silent >= l.broker.heartbeatRetry*int64(c.beats+1) && c.beats < math.MaxUint16:
		c.beats++
		l.sendNotice(c, system.HeartbeatRequest)
	}
	c.armHeartbeat()
}
