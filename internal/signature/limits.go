package signature

// Limits of what one image may make the verifier read: whoever may push to its repository
// writes all of it.
const (
	// maxManifest is the largest manifest or index, in bytes; the distribution
	// specification asks registries for no more than 4 MiB.
	maxManifest = 4 << 20
	// maxPayload is the largest payload of a classic signature; they have about 250 bytes.
	maxPayload = 64 << 10
	// maxBundle is the largest bundle or envelope. Bills of materials are the large ones.
	maxBundle = 32 << 20
	// maxTotal is how much is read for one image in all.
	maxTotal = 256 << 20
	// maxCandidates is how many signatures and attestations of one image are verified.
	maxCandidates = 256
	// maxReferrers is how many referrers are listed, over all pages.
	maxReferrers = 4096
	maxPages     = 64
	// maxAnswer is the largest answer of a registry that is neither manifest nor blob:
	// tokens and errors.
	maxAnswer = 1 << 20
	// maxPlatforms is how many platforms of an index are looked at.
	maxPlatforms = 64
)
