package atrest

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// API rewrites objects through the cluster's API.
type API struct {
	Client dynamic.Interface
	Mapper meta.RESTMapper
}

const (
	listPage = 500
	writers  = 8
)

// Rewrite updates every object of a resource with exactly what was read, under
// its resource version, so that no other write is undone: who was faster wins,
// and his write is under the new key already. An apiserver writes an update
// that changes nothing only if the stored form is out of date, so a second run
// costs no writes.
func (a *API) Rewrite(ctx context.Context, resource string) (int, error) {
	gvr, err := a.Mapper.ResourceFor(schema.ParseGroupResource(resource).WithVersion(""))
	if err != nil {
		return 0, err
	}
	client := a.Client.Resource(gvr)
	total := 0
	options := metav1.ListOptions{Limit: listPage}
	for {
		page, err := client.List(ctx, options)
		if apierrors.IsResourceExpired(err) {
			// The list took longer than etcd remembers; what was done stays done.
			options.Continue, total = "", 0
			continue
		}
		if err != nil {
			return total, err
		}
		if err := each(ctx, page.Items, func(ctx context.Context, object *unstructured.Unstructured) error {
			return rewriteOne(ctx, client.Namespace(object.GetNamespace()), object)
		}); err != nil {
			return total, err
		}
		total += len(page.Items)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return total, nil
		}
	}
}

func rewriteOne(ctx context.Context, client dynamic.ResourceInterface, object *unstructured.Unstructured) error {
	for {
		_, err := client.Update(ctx, object, metav1.UpdateOptions{})
		switch {
		case err == nil, apierrors.IsNotFound(err):
			return nil
		case !apierrors.IsConflict(err):
			return fmt.Errorf("%s/%s: %w", object.GetNamespace(), object.GetName(), err)
		}
		object, err = client.Get(ctx, object.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// each works on the objects with a few workers, until one has an error.
func each(ctx context.Context, objects []unstructured.Unstructured, work func(context.Context, *unstructured.Unstructured) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan *unstructured.Unstructured)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for object := range queue {
				if ctx.Err() != nil {
					continue
				}
				if err := work(ctx, object); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range objects {
		queue <- &objects[i]
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}
