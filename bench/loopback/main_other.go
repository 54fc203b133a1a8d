//go:build !linux

package main

import "fmt"

func main() { fmt.Println("loopback measures Linux servers only") }
