;; SPDX-License-Identifier: GPL-2.0
;; What both versions of fasta print: the repeated sequence and the two distributions, as the benchmark prescribes.
#lang racket/base
(provide alu iub homo-sapiens modulus multiplier increment seed line-length header)

(define line-length 60)

;; The prescribed linear congruential generator.
(define modulus 139968)
(define multiplier 3877)
(define increment 29573)
(define seed 42)

(define alu
  (bytes-append #"GGCCGGGCGCGGTGGCTCACGCCTGTAATCCCAGCACTTTGGGAGGCCGAGGCGGGCGGATCACCTGAGG"
                #"TCAGGAGTTCGAGACCAGCCTGGCCAACATGGTGAAACCCCGTCTCTACTAAAAATACAAAAATTAGCCGGG"
                #"CGTGGTGGCGCGCGCCTGTAATCCCAGCTACTCGGGAGGCTGAGGCAGGAGAATCGCTTGAACCCGGGAGG"
                #"CGGAGGTTGCAGTGAGCCGAGATCGCGCCACTGCACTCCAGCCTGGGCGACAGAGCGAGACTCCGTCTCAAAAA"))

(define iub
  '((#\a . 0.27) (#\c . 0.12) (#\g . 0.12) (#\t . 0.27) (#\B . 0.02) (#\D . 0.02) (#\H . 0.02)
    (#\K . 0.02) (#\M . 0.02) (#\N . 0.02) (#\R . 0.02) (#\S . 0.02) (#\V . 0.02) (#\W . 0.02)
    (#\Y . 0.02)))

(define homo-sapiens
  '((#\a . 0.3029549426680) (#\c . 0.1979883004921) (#\g . 0.1975473066391) (#\t . 0.3015094502008)))

(define (header id description) (printf ">~a ~a\n" id description))
