package backplane

import (
	"mbserver/codec"
	"mbserver/server/abroad"
)

// Serve tells other nodes of a service that takes requests here.
func (p *Plane) Serve(*abroad.Service) {}

// Unserve ends that.
func (p *Plane) Unserve(codec.UUID) {}

// Offer notes what a service takes requests of. version is for Await.
func (p *Plane) Offer(abroad.Offer) (version uint64) { return 0 }

// Withdraw ends that.
func (p *Plane) Withdraw(abroad.Offer) {}

// Ask sends a request to a service of another node.
func (p *Plane) Ask(int, uint32, *abroad.Request) bool { return false }

// Cancel ends one.
func (p *Plane) Cancel(int, uint32, codec.UUID) {}

// Answer sends a request's origin word of it.
func (p *Plane) Answer(int, uint32, *abroad.Answer) bool { return false }

// Load sends word of a service.
func (p *Plane) Load(int, uint32, abroad.Load) bool { return false }

// Wait sends word that requests wait for a service.
func (p *Plane) Wait(int, uint32, abroad.Wait) bool { return false }
