package image

// The libraries of the packages below, until each is imported where it is used.
import (
	_ "github.com/rust-secure-code/go-rustaudit"
)
