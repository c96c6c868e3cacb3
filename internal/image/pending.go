package image

// The libraries of the packages below, until each is imported where it is used.
import (
	_ "github.com/CycloneDX/cyclonedx-go"
	_ "github.com/rust-secure-code/go-rustaudit"
	_ "github.com/spdx/tools-golang/spdx"
)
