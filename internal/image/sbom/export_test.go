package sbom

// Shop is an image in which everything is said.
var Shop = shop
