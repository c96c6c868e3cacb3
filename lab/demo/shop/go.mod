// The shop is careless in this too: it has a version of golang.org/x/text in which a
// long Accept-Language header takes the processor (CVE-2022-32149), and calls the very
// function. `bulwark image scan` has to find that, and nothing that is not there.
module github.com/bulwark-k8s/bulwark/lab/demo/shop

go 1.26.0

require golang.org/x/text v0.3.7
