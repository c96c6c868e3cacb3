package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxLog is how much a node may say; one with a hundred components and ten
	// thousand files says less than a tenth of it.
	maxLog = 32 << 20
	// lookAgain is how often the pods are looked at, in one request for all.
	lookAgain = 500 * time.Millisecond
	// tidying is how long removing may take after all is said or somebody has had
	// enough.
	tidying = 30 * time.Second
	// late is how long the Job controller gets beyond the nodes' time.
	late = 10 * time.Second
)

// Run asks, and removes everything it made, also where it is interrupted. The answers
// are in the order of Ask, then those of Skip. An error means that nobody could be
// asked, or that something stayed behind.
func (p *Plan) Run(ctx context.Context) (answers []Answer, err error) {
	ns, err := p.client.CoreV1().Namespaces().Create(ctx, namespace(), metav1.CreateOptions{FieldManager: program})
	if err != nil {
		return nil, fmt.Errorf("creating a namespace for the Jobs: %w", err)
	}
	defer func() {
		for _, name := range append([]string{ns.Name}, p.Left...) {
			err = errors.Join(err, p.remove(ctx, name))
		}
	}()
	r := &run{Plan: p, namespace: ns.Name, answers: make([]*Answer, len(p.Ask))}
	if err := r.ask(ctx); err != nil {
		return nil, err
	}
	for _, a := range r.answers {
		answers = append(answers, *a)
	}
	return append(answers, p.Skip...), nil
}

// remove deletes a namespace with all that is in it. It does not wait until it is
// gone: from here on the cluster does it.
func (p *Plan) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	// The pods first: without their Jobs, none is made again meanwhile.
	background := metav1.DeletePropagationBackground
	_ = p.client.BatchV1().Jobs(name).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{})
	err := p.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return &leftError{name, err}
}

// A leftError says what was not removed, and how it is.
type leftError struct {
	namespace string
	err       error
}

func (e *leftError) Error() string {
	return fmt.Sprintf("namespace %s was not removed: %v", e.namespace, e.err)
}

func (e *leftError) Unwrap() error { return e.err }

// Hint is the next step.
func (e *leftError) Hint() string { return "kubectl delete namespace " + e.namespace }

type run struct {
	*Plan
	namespace string
	answers   []*Answer // by the node's index; nil while there is none
}

// ask starts as many Jobs as may run at a time, and another one for each that ends.
func (r *run) ask(ctx context.Context) error {
	began := make([]time.Time, len(r.Ask))
	next := 0
	for {
		running := 0
		for i := range next {
			if r.answers[i] == nil {
				running++
			}
		}
		for ; next < len(r.Ask) && running < r.opts.Parallel; next++ {
			_, err := r.client.BatchV1().Jobs(r.namespace).Create(ctx, job(r.Ask[next], next, r.opts), metav1.CreateOptions{FieldManager: program})
			if err != nil {
				// The first one says what is wrong with all of them.
				if next == 0 || ctx.Err() != nil {
					return fmt.Errorf("creating a Job: %w", err)
				}
				r.set(next, Answer{Err: fmt.Errorf("creating its Job: %w", err)})
				continue
			}
			began[next] = time.Now()
			running++
		}
		done := next - running
		r.opts.Progress(done, len(r.Ask))
		if running == 0 && next == len(r.Ask) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lookAgain):
		}
		pods, err := r.pods(ctx)
		if err != nil {
			continue // once more, until the nodes' time is up
		}
		for i := range next {
			r.look(ctx, i, pods[i], time.Since(began[i]))
		}
	}
}

func (r *run) set(i int, a Answer) {
	a.Node = r.Ask[i]
	r.answers[i] = &a
}

// pods finds the pod of each node.
func (r *run) pods(ctx context.Context) (map[int]*corev1.Pod, error) {
	list, err := r.client.CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: nodeLabel})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	pods := map[int]*corev1.Pod{}
	for i := range list.Items {
		if n, err := strconv.Atoi(list.Items[i].Labels[nodeLabel]); err == nil {
			pods[n] = &list.Items[i]
		}
	}
	return pods, nil
}

// look settles a node's answer if there is one.
func (r *run) look(ctx context.Context, i int, pod *corev1.Pod, after time.Duration) {
	if r.answers[i] != nil {
		return
	}
	out := after > r.opts.Timeout+late
	switch {
	case pod == nil && out:
		r.set(i, Answer{Err: errors.New(r.whyNone(ctx, i))})
	case pod == nil:
	case pod.Status.Phase == corev1.PodSucceeded:
		log, err := r.log(ctx, pod.Name)
		r.set(i, Answer{Log: log, Err: err})
	case pod.Status.Phase == corev1.PodFailed:
		r.set(i, Answer{Err: errors.New(failure(pod))})
	case refused(pod) != "":
		r.set(i, Answer{Err: errors.New(refused(pod))})
	case out:
		r.set(i, Answer{Err: fmt.Errorf("no answer within %s%s", r.opts.Timeout, because(waiting(pod)))})
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// log reads what the pod said.
func (r *run) log(ctx context.Context, pod string) ([]byte, error) {
	limit := int64(maxLog)
	stream, err := r.client.CoreV1().Pods(r.namespace).GetLogs(pod, &corev1.PodLogOptions{LimitBytes: &limit}).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what it said: %w", err)
	}
	defer stream.Close()
	data, err := io.ReadAll(io.LimitReader(stream, maxLog+1))
	if err != nil {
		return nil, fmt.Errorf("reading what it said: %w", err)
	}
	if len(data) >= maxLog {
		return nil, fmt.Errorf("it says more than %d MiB", maxLog>>20)
	}
	return data, nil
}

// failure says why a pod ended badly.
func failure(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil {
			said := strings.TrimSpace(t.Message)
			if said == "" {
				said = t.Reason
			}
			return fmt.Sprintf("it ended with exit code %d%s", t.ExitCode, because(said))
		}
	}
	return strings.TrimPrefix(because(strings.TrimSpace(pod.Status.Reason+" "+pod.Status.Message)), ": ")
}

// waiting says what a pod's container waits for.
func waiting(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
	}
	return ""
}

// hopeless are reasons for waiting that waiting does not mend.
var hopeless = map[string]bool{
	"ErrImageNeverPull": true, "InvalidImageName": true, "ImagePullBackOff": true, "CreateContainerConfigError": true, "RunContainerError": true,
}

func refused(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && hopeless[w.Reason] {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
	}
	return ""
}

// whyNone says why a Job has no pod: somebody at the door refused it.
func (r *run) whyNone(ctx context.Context, i int) string {
	j, err := r.client.BatchV1().Jobs(r.namespace).Get(ctx, "node-"+strconv.Itoa(i), metav1.GetOptions{})
	if err != nil {
		return "no pod was made: " + err.Error()
	}
	for _, c := range j.Status.Conditions {
		if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue && c.Reason != batchv1.JobReasonDeadlineExceeded {
			return "no pod was made: " + c.Message
		}
	}
	events, err := r.client.CoreV1().Events(r.namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + j.Name})
	if err == nil {
		for _, e := range events.Items {
			if e.Type == corev1.EventTypeWarning {
				return "no pod was made: " + e.Message
			}
		}
	}
	return fmt.Sprintf("no pod was made within %s", r.opts.Timeout)
}
