package retry_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/hareline/hareline/retry"
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
