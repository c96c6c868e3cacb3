// Package cosign holds Bulwark's verifier against cosign itself: what cosign signs
// verifies, and what cosign refuses is refused.
package cosign
