;; SPDX-License-Identifier: GPL-2.0
;; Racket's two ways to use several CPUs: futures (one heap, parallel flonum loops) and places (a heap each).
#lang racket/base
;; The primitive modules instead of racket/future and racket/place: those pull in the contract system, which takes
;; longer to load over an emulated file system than the whole program runs.
(require '#%futures '#%place '#%flfxnum)
(provide sieve-place)

;; Sum of escape counts over one row of the Mandelbrot set; allocation-free, so that a future need not block.
(define (row-sum y size depth)
  (define ci (fl- (fl/ (fl* 2.4 (fx->fl y)) (fx->fl size)) 1.2))
  (let columns ([x 0] [sum 0])
    (if (fx= x size)
        sum
        (let ([cr (fl- (fl/ (fl* 3.0 (fx->fl x)) (fx->fl size)) 2.1)])
          (let iterate ([zr 0.0] [zi 0.0] [k 0])
            (define zr2 (fl* zr zr))
            (define zi2 (fl* zi zi))
            (if (or (fx= k depth) (fl> (fl+ zr2 zi2) 4.0))
                (columns (fx+ x 1) (fx+ sum k))
                (iterate (fl+ (fl- zr2 zi2) cr) (fl+ (fl* 2.0 (fl* zr zi)) ci) (fx+ k 1))))))))

(define (rows-sum first step size depth)
  (let loop ([y first] [sum 0])
    (if (fx>= y size) sum (loop (fx+ y step) (fx+ sum (row-sum y size depth))))))

(define (mandelbrot size depth)
  (define halves (for/list ([first 2]) (future (lambda () (rows-sum first 2 size depth)))))
  (apply + (map touch halves)))

;; The compiled module, which each place loads again.
(define here (variable-reference->module-source (#%variable-reference)))

;; Counts the primes of [low, high) with freshly built lists, to keep the collector of the place busy.
(define (count-primes low high)
  (define (prime? n)
    (and (> n 1) (for/and ([d (in-range 2 (add1 (integer-sqrt n)))]) (positive? (remainder n d)))))
  (length (filter prime? (for/list ([n (in-range low high)]) n))))

(define (sieve-place channel)
  (define bounds (place-channel-get channel))
  (place-channel-put channel (count-primes (car bounds) (cdr bounds))))

(define (primes limit)
  (define middle (quotient (* limit 3) 5))
  (define places
    (for/list ([bounds (list (cons 0 middle) (cons middle limit))])
      (define-values (channel in out err)
        (dynamic-place here 'sieve-place #f (current-output-port) (current-error-port)))
      (place-channel-put channel bounds)
      channel))
  (for/sum ([channel places]) (define count (place-channel-get channel)) (place-wait channel) count))

(module+ main
  (define-values (size depth limit)
    (apply values (map string->number (vector->list (current-command-line-arguments)))))
  (printf "mandelbrot ~a\n" (mandelbrot size depth))
  (printf "primes below ~a ~a\n" limit (primes limit)))
