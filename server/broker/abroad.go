package broker

import (
	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/topic"
)

// Serve implements backplane.Broker.
func (n *ClusterNode) Serve(uint32, *abroad.Service) {}

// Unserve implements backplane.Broker.
func (n *ClusterNode) Unserve(uint32, codec.UUID) {}

// Offer implements backplane.Broker.
func (n *ClusterNode) Offer(uint32, abroad.Offer, topic.Pattern) {}

// Withdraw implements backplane.Broker.
func (n *ClusterNode) Withdraw(uint32, abroad.Offer, topic.Pattern) {}

// Asked implements backplane.Broker.
func (n *ClusterNode) Asked(uint32, *abroad.Request) {}

// Cancelled implements backplane.Broker.
func (n *ClusterNode) Cancelled(uint32, codec.UUID) {}

// Answered implements backplane.Broker.
func (n *ClusterNode) Answered(uint32, *abroad.Answer) {}

// Loaded implements backplane.Broker.
func (n *ClusterNode) Loaded(uint32, abroad.Load) {}

// Waited implements backplane.Broker.
func (n *ClusterNode) Waited(uint32, abroad.Wait) {}

// Called implements backplane.Broker.
func (n *ClusterNode) Called() {}
