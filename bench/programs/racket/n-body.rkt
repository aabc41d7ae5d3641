;; SPDX-License-Identifier: GPL-2.0
;; n-body STEPS: the Sun and the four giant planets by a symplectic integrator; prints the energy before and after.
#lang racket/base
(require '#%flfxnum)

(define time-step 0.01)
(define solar-mass (* 4.0 3.141592653589793 3.141592653589793))
(define days-per-year 365.24)

;; Position, velocity a day and mass in solar masses, as the benchmark prescribes.
(define system
  '((0.0 0.0 0.0 0.0 0.0 0.0 1.0)
    (4.84143144246472090e+00 -1.16032004402742839e+00 -1.03622044471123109e-01
     1.66007664274403694e-03 7.69901118419740425e-03 -6.90460016972063023e-05
     9.54791938424326609e-04)
    (8.34336671824457987e+00 4.12479856412430479e+00 -4.03523417114321381e-01
     -2.76742510726411904e-03 4.99852801234917238e-03 2.30417297573763929e-05
     2.85885980666130812e-04)
    (1.28943695621391310e+01 -1.51111514016986312e+01 -2.23307578892655734e-01
     2.96460137564761618e-03 2.37847173959480950e-03 -2.96589568540237556e-05
     4.36624404335156298e-05)
    (1.53796971148509165e+01 -2.59193146099879641e+01 1.79258772950371181e-01
     2.68067772490389322e-03 1.62824170038242295e-03 -9.51592254519715870e-05
     5.15138902046611451e-05)))

(define bodies (length system))

(define (column n scale)
  (define values (make-flvector bodies))
  (for ([body system] [i (in-naturals)]) (flvector-set! values i (fl* scale (list-ref body n))))
  values)

(define px (column 0 1.0))
(define py (column 1 1.0))
(define pz (column 2 1.0))
(define vx (column 3 days-per-year))
(define vy (column 4 days-per-year))
(define vz (column 5 days-per-year))
(define mass (column 6 solar-mass))

(define-syntax-rule (add! v i x) (flvector-set! v i (fl+ (flvector-ref v i) x)))
(define-syntax-rule (distance v i j) (fl- (flvector-ref v i) (flvector-ref v j)))

;; Gives the Sun the momentum that lets the whole stand still.
(define (offset-momentum!)
  (for ([v (list vx vy vz)])
    (define momentum (for/fold ([sum 0.0]) ([i bodies]) (fl+ sum (fl* (flvector-ref v i) (flvector-ref mass i)))))
    (flvector-set! v 0 (fl/ (fl- 0.0 momentum) solar-mass))))

(define (energy)
  (for/fold ([sum 0.0]) ([i bodies])
    (define speed2
      (for/fold ([speed2 0.0]) ([v (list vx vy vz)]) (fl+ speed2 (fl* (flvector-ref v i) (flvector-ref v i)))))
    (for/fold ([sum (fl+ sum (fl* 0.5 (fl* (flvector-ref mass i) speed2)))]) ([j (in-range (+ i 1) bodies)])
      (define-values (dx dy dz) (values (distance px i j) (distance py i j) (distance pz i j)))
      (define apart (flsqrt (fl+ (fl+ (fl* dx dx) (fl* dy dy)) (fl* dz dz))))
      (fl- sum (fl/ (fl* (flvector-ref mass i) (flvector-ref mass j)) apart)))))

(define (attract! i j)
  (let* ([dx (distance px i j)]
         [dy (distance py i j)]
         [dz (distance pz i j)]
         [apart2 (fl+ (fl+ (fl* dx dx) (fl* dy dy)) (fl* dz dz))]
         [pull (fl/ time-step (fl* apart2 (flsqrt apart2)))]
         [on-i (fl* (flvector-ref mass j) pull)]
         [on-j (fl* (flvector-ref mass i) pull)])
    (add! vx i (fl- 0.0 (fl* dx on-i)))
    (add! vy i (fl- 0.0 (fl* dy on-i)))
    (add! vz i (fl- 0.0 (fl* dz on-i)))
    (add! vx j (fl* dx on-j))
    (add! vy j (fl* dy on-j))
    (add! vz j (fl* dz on-j))))

(define (advance!)
  (let pairs ([i 0] [j 1])
    (cond
      [(fx< j bodies)
       (attract! i j)
       (pairs i (fx+ j 1))]
      [(fx< (fx+ i 2) bodies) (pairs (fx+ i 1) (fx+ i 2))]))
  (let move ([i 0])
    (when (fx< i bodies)
      (add! px i (fl* time-step (flvector-ref vx i)))
      (add! py i (fl* time-step (flvector-ref vy i)))
      (add! pz i (fl* time-step (flvector-ref vz i)))
      (move (fx+ i 1)))))

(define (print-energy) (printf "~a\n" (real->decimal-string (energy) 9)))

(module+ main
  (define steps (string->number (vector-ref (current-command-line-arguments) 0)))
  (offset-momentum!)
  (print-energy)
  (let loop ([left steps])
    (when (fx> left 0)
      (advance!)
      (loop (fx- left 1))))
  (print-energy))
