// Package atrest is the encryption of what a cluster keeps in etcd: the
// apiserver's EncryptionConfiguration, what the stored values say of the key
// they are under, and how a key is changed without losing an object.
//
// Of a stored value it looks at the first bytes, which name the provider and
// the key, and drops the rest as it arrives; it never decrypts one. It does not
// know where a cluster's machines are: who rotates brings them along.
package atrest
