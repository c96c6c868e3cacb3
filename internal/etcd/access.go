package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// User is somebody with a certificate of this common name, and the keys that he
// may use. Without any, he may do nothing but be known.
type User struct {
	Name     string
	Reads    []string // exactly these, to read only
	Prefixes []string // all that begin with these, to read and write
}

// Root is the user who may do everything, and the role that makes him so.
const Root = "root"

// Restrict makes the users, each with a role of his name, and turns access
// control on: from then on nobody does anything that is not said here, except
// [Root]. It may be called again, by several members' machines at once.
func (c *Client) Restrict(ctx context.Context, users []User) error {
	root := appendString(appendString(nil, 1, Root), 2, Root)
	for _, step := range []struct {
		method  string
		message []byte
	}{
		{"UserAdd", newUser(Root)},
		{"UserGrantRole", root},
	} {
		if err := c.auth(ctx, step.method, step.message); err != nil {
			return fmt.Errorf("etcd user %s: %w", Root, err)
		}
	}
	for _, u := range users {
		if err := c.grant(ctx, u); err != nil {
			return fmt.Errorf("etcd user %s: %w", u.Name, err)
		}
	}
	if err := c.auth(ctx, "AuthEnable", nil); err != nil {
		return fmt.Errorf("turning etcd's access control on: %w", err)
	}
	return nil
}

func (c *Client) grant(ctx context.Context, u User) error {
	if err := errors.Join(
		c.auth(ctx, "UserAdd", newUser(u.Name)),
		c.auth(ctx, "RoleAdd", appendString(nil, 1, u.Name)),
	); err != nil {
		return err
	}
	permit := func(kind uint64, key string, end []byte) error {
		permission := binary.AppendUvarint(binary.AppendUvarint(nil, 1<<3|wireVarint), kind)
		permission = appendString(permission, 2, key)
		if end != nil {
			permission = appendBytes(permission, 3, end)
		}
		return c.auth(ctx, "RoleGrantPermission", appendBytes(appendString(nil, 1, u.Name), 2, permission))
	}
	for _, key := range u.Reads {
		if err := permit(permitRead, key, nil); err != nil {
			return err
		}
	}
	for _, prefix := range u.Prefixes {
		if err := permit(permitAll, prefix, prefixEnd(prefix)); err != nil {
			return err
		}
	}
	return c.auth(ctx, "UserGrantRole", appendString(appendString(nil, 1, u.Name), 2, u.Name))
}

// Permissions, from auth.proto.
const (
	permitRead = 0
	permitAll  = 2
)

// newUser has no password: there is no way in but the certificate.
func newUser(name string) []byte {
	noPassword := binary.AppendUvarint(binary.AppendUvarint(nil, 1<<3|wireVarint), 1)
	return appendBytes(appendString(nil, 1, name), 3, noPassword)
}

func appendString(to []byte, field int, value string) []byte {
	return appendBytes(to, field, []byte(value))
}

// auth makes one call of the Auth service. What exists already is fine.
func (c *Client) auth(ctx context.Context, method string, message []byte) error {
	answer, err := c.call(ctx, "/etcdserverpb.Auth/"+method, message)
	if err == nil {
		err = errors.Join(answer.message(func(int, *wire) error { return nil }), answer.Close())
	}
	var status *StatusError
	if errors.As(err, &status) && (status.Message == "etcdserver: user name already exists" || status.Message == "etcdserver: role name already exists") {
		return nil
	}
	return err
}
