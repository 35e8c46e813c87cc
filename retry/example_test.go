package retry_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

// A policy is a value: what it will do can be printed before it is used.
func ExamplePolicy_Delay() {
	p := retry.Policy{MaxRetries: 4, BackOff: retry.Schedule(time.Second, 10*time.Second, time.Minute)}
	for attempt := 1; ; attempt++ {
		delay, ok := p.Delay(attempt)
		if !ok {
			fmt.Println("then it is buried")
			break
		}
		fmt.Println(delay)
	}
	// Output:
	// 1s
	// 10s
	// 1m0s
	// then it is buried
}

// Rules of one's own come before the default ones.
func ExampleClassify() {
	errQuota := errors.New("quota exceeded")
	quota := func(err error) (retry.Verdict, bool) {
		return retry.VerdictTransient, errors.Is(err, errQuota)
	}
	fmt.Println(retry.Classify(errQuota, quota))
	fmt.Println(retry.Classify(errQuota))
	fmt.Println(retry.Classify(retry.Permanent(errors.New("no such customer")), quota))
	// Output:
	// transient
	// unexpected
	// permanent
}

// Errors of a class have delays of their own. What an answer asks for comes
// first, and what no retry helps is not tried again.
func ExampleClass() {
	unavailable := func(err error) bool {
		var answer *retry.HTTPError
		return errors.As(err, &answer) && answer.Status == 503
	}
	p := retry.Policy{Classes: []retry.Class{{Match: unavailable, MaxRetries: 10, BackOff: retry.Constant(time.Minute)}}}
	for _, answer := range []error{
		retry.FromHTTP(503, nil),
		retry.FromHTTP(503, map[string][]string{"Retry-After": {"300"}}),
		retry.FromHTTP(422, nil),
	} {
		_, delay, err := p.Next(time.Now(), story.Story{}, answer)
		fmt.Println(delay, err)
	}
	// Output:
	// 1m0s <nil>
	// 5m0s <nil>
	// 0s attempt 1 of 4 failed, no further one (permanent): HTTP status 422
}
