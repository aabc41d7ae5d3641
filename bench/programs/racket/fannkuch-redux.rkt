;; SPDX-License-Identifier: GPL-2.0
;; fannkuch-redux N: over all permutations of 1..N, the most flips of a prefix that bring 1 to the front, and the sum
;; of all flip counts with alternating sign. Small vectors of fixnums, no allocation.
#lang racket/base
(require '#%flfxnum)

;; Reverses elements low..high.
(define (reverse-part! v low high)
  (when (fx< low high)
    (let ([kept (vector-ref v low)])
      (vector-set! v low (vector-ref v high))
      (vector-set! v high kept)
      (reverse-part! v (fx+ low 1) (fx- high 1)))))

;; Flips a copy until a zero leads; counts from zero, so the leader says where the part to be flipped ends.
(define (flips permutation scratch)
  (vector-copy! scratch 0 permutation)
  (let loop ([count 0])
    (define leader (vector-ref scratch 0))
    (cond
      [(fx= leader 0) count]
      [else
       (reverse-part! scratch 0 leader)
       (loop (fx+ count 1))])))

;; Moves the first element behind the next `length` ones.
(define (rotate! v length)
  (define first (vector-ref v 0))
  (let loop ([i 0])
    (if (fx= i length)
        (vector-set! v length first)
        (begin
          (vector-set! v i (vector-ref v (fx+ i 1)))
          (loop (fx+ i 1))))))

;; Steps to the next permutation of the prescribed order; false after the last.
(define (next! permutation turns n)
  (let loop ([length 1])
    (cond
      [(fx= length n) #f]
      [else
       (rotate! permutation length)
       (define done (fx+ (vector-ref turns length) 1))
       (cond
         [(fx> done length)
          (vector-set! turns length 0)
          (loop (fx+ length 1))]
         [else
          (vector-set! turns length done)
          #t])])))

(define (fannkuch n)
  (define permutation (build-vector n values))
  (define scratch (make-vector n 0))
  (define turns (make-vector n 0))
  (let loop ([even? #t] [checksum 0] [most 0])
    (define count (flips permutation scratch))
    (define sum (if even? (fx+ checksum count) (fx- checksum count)))
    (define top (fxmax most count))
    (if (next! permutation turns n) (loop (not even?) sum top) (values sum top))))

(module+ main
  (define n (string->number (vector-ref (current-command-line-arguments) 0)))
  (define-values (checksum most) (fannkuch n))
  (printf "~a\nPfannkuchen(~a) = ~a\n" checksum n most))
