;; SPDX-License-Identifier: GPL-2.0
;; binary-trees DEPTH: builds, walks and drops perfect binary trees, which keeps the collector busy.
;;
;; One tree is one deeper than the deepest, one stays alive all the time, and for each even depth from 4 on as many
;; short-lived trees are made as let all depths allocate about the same number of nodes.
#lang racket/base
(require '#%flfxnum)

(define shallowest 4)

(define (build depth)
  (if (fx= depth 0)
      (cons #f #f)
      (let ([below (fx- depth 1)]) (cons (build below) (build below)))))

(define (count-nodes tree)
  (define left (car tree))
  (if left (fx+ 1 (fx+ (count-nodes left) (count-nodes (cdr tree)))) 1))

(define (report what depth nodes)
  (printf "~a of depth ~a\t check: ~a\n" what depth nodes))

(module+ main
  (define wanted (string->number (vector-ref (current-command-line-arguments) 0)))
  (define deepest (max wanted (+ shallowest 2)))
  (report "stretch tree" (+ deepest 1) (count-nodes (build (+ deepest 1))))
  (define long-lived (build deepest))
  (for ([depth (in-range shallowest (+ deepest 1) 2)])
    (define trees (expt 2 (+ (- deepest depth) shallowest)))
    (define nodes (for/sum ([_ (in-range trees)]) (count-nodes (build depth))))
    (report (format "~a\t trees" trees) depth nodes))
  (report "long lived tree" deepest (count-nodes long-lived)))
