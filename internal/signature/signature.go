// Package signature says who signed an image and what they attest of it, and whether a
// policy is content with that. It asks nobody but the registry it is given and trusts
// nothing but the keys and roots it is given.
package signature
