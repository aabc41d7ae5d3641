;; SPDX-License-Identifier: GPL-2.0
;; mandelbrot N: prints the Mandelbrot set as a portable bitmap of N x N, computed by two futures.
#lang racket/base
(require '#%flfxnum '#%futures)

(define futures 2)
(define iterations 50)

;; 1 if the point stays within the circle of radius 2.
(define (member-bit cr ci)
  (let loop ([zr 0.0] [zi 0.0] [left iterations])
    (define zr2 (fl* zr zr))
    (define zi2 (fl* zi zi))
    (cond
      [(fl> (fl+ zr2 zi2) 4.0) 0]
      [(fx= left 0) 1]
      [else (loop (fl+ (fl- zr2 zi2) cr) (fl+ (fl* 2.0 (fl* zr zi)) ci) (fx- left 1))])))

(define (coordinate i size centre) (fl- (fl/ (fl* 2.0 (fx->fl i)) (fx->fl size)) centre))

;; Eight points of a line from `x` on as a byte, the first one highest; zeros beyond the edge.
(define (eight x y size)
  (define ci (coordinate y size 1.0))
  (let loop ([i 0] [byte 0])
    (if (fx= i 8)
        byte
        (let* ([column (fx+ x i)]
               [bit (if (fx< column size) (member-bit (coordinate column size 1.5) ci) 0)])
          (loop (fx+ i 1) (fxior (fxlshift byte 1) bit))))))

;; Fills every `futures`th line, so that both have about the same work.
(define (fill! bitmap first size)
  (define width (fxquotient (fx+ size 7) 8))
  (let lines ([y first])
    (when (fx< y size)
      (let bytes ([i 0])
        (when (fx< i width)
          (bytes-set! bitmap (fx+ (fx* y width) i) (eight (fx* i 8) y size))
          (bytes (fx+ i 1))))
      (lines (fx+ y futures)))))

(module+ main
  (define size (string->number (vector-ref (current-command-line-arguments) 0)))
  (define bitmap (make-bytes (* size (quotient (+ size 7) 8))))
  (define parts (for/list ([first (in-range futures)]) (future (lambda () (fill! bitmap first size)))))
  (for-each touch parts)
  (printf "P4\n~a ~a\n" size size)
  (void (write-bytes bitmap)))
