;; SPDX-License-Identifier: GPL-2.0
;; fasta N: prints DNA sequences, one repeated and two drawn at random by searching a cumulative distribution.
#lang racket/base
(require '#%flfxnum "fasta-data.rkt")

;; Writes `count` bytes in lines, each from `next`.
(define (write-lines count next)
  (define line (make-bytes (+ line-length 1) 10))
  (define out (current-output-port))
  (let lines ([left count])
    (when (fx> left 0)
      (define width (fxmin left line-length))
      (let fill ([i 0])
        (when (fx< i width)
          (bytes-set! line i (next))
          (fill (fx+ i 1))))
      (bytes-set! line width 10)
      (write-bytes line out 0 (fx+ width 1))
      (lines (fx- left width)))))

(define (repeat source count)
  (define length (bytes-length source))
  (define at 0)
  (write-lines count
               (lambda ()
                 (define byte (bytes-ref source at))
                 (set! at (if (fx= (fx+ at 1) length) 0 (fx+ at 1)))
                 byte)))

(define state seed)

;; The next random number of [0, 1).
(define (random-unit)
  (set! state (fxmodulo (fx+ (fx* state multiplier) increment) modulus))
  (fl/ (fx->fl state) (fx->fl modulus)))

(define (draw distribution count)
  (define symbols (for/vector ([entry distribution]) (char->integer (car entry))))
  (define bounds (make-flvector (vector-length symbols)))
  (for/fold ([sum 0.0]) ([entry distribution] [i (in-naturals)])
    (define bound (fl+ sum (cdr entry)))
    (flvector-set! bounds i bound)
    bound)
  (define last (fx- (vector-length symbols) 1))
  (write-lines count
               (lambda ()
                 (define wanted (random-unit))
                 (let search ([i 0])
                   (if (or (fx= i last) (fl< wanted (flvector-ref bounds i)))
                       (vector-ref symbols i)
                       (search (fx+ i 1)))))))

(module+ main
  (define n (string->number (vector-ref (current-command-line-arguments) 0)))
  (header "ONE" "Homo sapiens alu")
  (repeat alu (* 2 n))
  (header "TWO" "IUB ambiguity codes")
  (draw iub (* 3 n))
  (header "THREE" "Homo sapiens frequency")
  (draw homo-sapiens (* 5 n)))
