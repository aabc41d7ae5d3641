;; SPDX-License-Identifier: GPL-2.0
;; spectral-norm N: the spectral norm of the matrix a(i,j) = 1 / ((i+j)(i+j+1)/2 + i+1) by ten steps of the power
;; method on its square.
#lang racket/base
(require '#%flfxnum)

(define (element i j)
  (define diagonal (fx+ i j))
  (fl/ 1.0 (fx->fl (fx+ (fxquotient (fx* diagonal (fx+ diagonal 1)) 2) (fx+ i 1)))))

;; Both products: `row` and `column` of the sum's element are given in this order or the other.
(define-syntax-rule (define-product name (i j) a)
  (define (name in out n)
    (let rows ([i 0])
      (when (fx< i n)
        (let columns ([j 0] [sum 0.0])
          (if (fx= j n)
              (flvector-set! out i sum)
              (columns (fx+ j 1) (fl+ sum (fl* a (flvector-ref in j))))))
        (rows (fx+ i 1))))))
(define-product times! (i j) (element i j))
(define-product transposed-times! (i j) (element j i))

(define (inner a b)
  (for/fold ([sum 0.0]) ([i (flvector-length a)]) (fl+ sum (fl* (flvector-ref a i) (flvector-ref b i)))))

(define (spectral-norm n)
  (define-values (u v between) (values (make-flvector n 1.0) (make-flvector n) (make-flvector n)))
  (define (square-times! in out)
    (times! in between n)
    (transposed-times! between out n))
  (for ([_ (in-range 10)])
    (square-times! u v)
    (square-times! v u))
  (flsqrt (fl/ (inner u v) (inner v v))))

(module+ main
  (define n (string->number (vector-ref (current-command-line-arguments) 0)))
  (printf "~a\n" (real->decimal-string (spectral-norm n) 9)))
