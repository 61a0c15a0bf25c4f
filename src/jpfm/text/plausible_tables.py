"""Statistics that `plausible` reads, counted by benchmarks/data/plausible_tables.py: run it, edit nothing."""

# kanji by frequency: the first 100, the next 400, the next 1,000; each band in code point order
COMMON_KANJI = (
    (
        "一上下不中事二人以件体何作例信入全内処出分利前力動化十取可合同名場変外多大子字定実対小年度後必思性意成所手持数文新方日明時書最月有期本来業機正点物理生用発的目知社私第考者能自行要見言計設認通部開間限高"
    ),
    (
        "七万三与世両主之九了予云五京今仕他付代任休会伝位低余使來供依価係保修個値側傍備働像優元先八公六共兵其具円再切列初判別制則削割加助労効務区千半単博原参又及反受口古号各吉向君含味呼命和品員問四回囲図国土在"
        "地型基報境増士声夜天太夫失奨女好如始存学學守安完客害家容寄密導少就居屋属山川工差師帰常平底式引張強当形影役彼待従得御心志応念悪情想感態慮我戦戸扱技択担指採接推提換携操支改教整料断施早易更替望朝木未村条"
        "東析果査校根格案植検極構様標権横次止此歩死残段母比民気水求決法注活流海消深済減満準火無然照特状独率現環産田由申男町画界略番異登白百皆監盤直相真眼着石確示神移程種空立章笑等答策算管範築約素索細終組経結給"
        "統続織置署美義聞職良色花若草荷落葉術表装複規視親観解討記許証評話語説読誰調論識議象負費質起足身載込近返述追送途造連進運過道達違適選郎配重野量金針録長門関防除階際集雑離難電青非面音響項順頭頼題顔類風食馬"
    ),
    (
        "丁丈並丸丹久乏乗乞也乱乳争互井亡交亦仁介仏令仮仰仲企伊伏伯伴伸似住佐佛併便促俗俺倉倍倒候借倭假偉偏停健偵偶偽傳傷傾僕僧儀償兄充光免兎児党典兼冗写冪冬冷凡刀刑到刷刺刻副剰創劇功劣努勇勉勘勝勢勤勿包北医匿"
        "午卑卓協南占印危即却卷厚厭厳去友双収句只叫台史右司否吸吹吾呂呉告呑周咲哀哲唐唯唱商善喜單喰営嘆嘘器因団困固國園圧坂均坊坐垂埋城域執堂堅堪塔塚塞塩壁壇壊売夏夕夢央奇奉契奥奪奮奴妊妙妥妹妻姉姓委姫姿威娘娠"
        "婆婚婦嫁嫌嬢孝季孫宅宇宋宗官宙宛宜宝宣室宮宿富寒寝察實審寸寺寿封専射将尉尊尋對尚尤尺尻尽尾局屈届展層履岐岡岩岸島崎崩州巡左巧巨己巻市布帆希帝席帯帳幅幕干幸幹幻幼幾広床序店府座庫庭康廃廊延建廻弁弘弟弥弱"
        "弾彫往律徒從復微徳徴徹忍忘忙忠快怒怖急怪恋恐恥恩息恰恵悟悩悲惑惜惡愉愚愛慣憎憩憶懐懲懸戒或戯戻房扉才打払批承把抑投折抜抱抵押抽拒招拝拠拡括拭拾挙振捕捨据授排掘掛探控措掲掻揃描揚握援揺損摘摩撃擧攻放政故"
        "救敗敢散敬敵敷數斜斯於旅族旗既旦旧旨昇昔星映春昧昨昭是昼晩普景晴智暇暗暦暫暮暴曜曲會服末机杉李材束杯松板林枚枝枠枯柄染柔柱柳栄株桁桜梅械棄棒棚森楽概模樣樹橋欄欠欲歌武歯歳歴歸殆殊殘殺殿毎毒毛氏氣氷永汎"
        "汚江池汽沈沒沢河油治沼沿況泉泊波泣泥洋洗津洩派浅浜浦浪浮浴涙淡混添清渡温測湯源滅滑滞漁漏演漢潔潜潮激濃瀬灯灰災為烈焦焼煙煩熊熟熱燃燈爆爲父爺爾片版牛牧犬犯狂狭献猿獄玄玉王珍珠球甘甚甲畑留畜畫畳當疎疑疲"
        "病痛療癖發皇皮益盗盛省看県眞眠眺督瞬矢短砂研砲破礎礼祖祝票祭禁福秀秋科秒秘称稀稲稼稿積穴究突窓竜端競竹笠符筆筈筋筑箇箱節篇簡簿籍籠米粉粒精糸系紀紅紋納紐純紙級紫紹絞絡絵絶經継維網綿緊総緑緒線締編緩練縁"
        "縦縮總績繁繋繰罪羅群羽翌習老耐耳聖聲聴肉肢肥肩育背胡胸脆脈脚脱腐腕腰腹膝臣臨臭至致興舎舞舟航般船艇艦芸芽苦英茂茎茶荒菊華著蒲蒼蓄蓋蓮蔵薄薩薬藝藤藩蘇蘭處虚虫蛇血衆街衛衝衣袋袖被裁裂裏裕補製襲西覗覚覧觀"
        "角触訂訓訪訳診詞試詩詰該詳誌誘誠誤課談請諸謂講謝警護變谷豆豊財貢貧貨貫責貰貴買賀賃資賞賢購赤走超越趣距跡路践踊踏車軍軒軟転軸軽較輝輩輪辞農辺迄迎迫迷退逃逆逍透這速逢週遂遅遊遙遠遣遵遷遺避還那邦邪郡郷都"
        "酒酔醜釈釋里鈴鉄鉢銀銭鋭鍵鎖鏡閉閲闇闘關阪阿附降院陣陰陳陵陸険陽隅隆隊随隔障隠隣雄雅雇雨雪雲震霊露静革頂頃須領頬頻額顏願顧飛飯飲飾餅養餘館首香駄駆騒験驚骨骸體髪鬼魂魔魚鮮鳥鳩鳴鴨鹿麗麦麻黄黒黙點鼻齢龍"
    ),
)
# row: class before; place in the row: class; character: quarter nats (`plausible.ALPHABET`)
TRANSITIONS = """
69IIF6HHlFEJQVhh5DZVmRmqdhRmqhvTv__
Q1IGLBLIcJJOcihbOScdmamqdhXmkegLv__
KD1CG9JOqRQXlqhhMSqdmdmqdhmmqhnqv__
LD53BCCGlJIQcphhIQidmcmqdhmmqhvqv__
KDAA46FLjBDIZnhhCFgdmbmqdhmmqebbv__
D7AFF2PLqNNRdnhdOXjcmXmqchhmqhoYv__
MNXOST2GdAACJNhh9FVdmdmqdhmmqhpqv__
MKeQUM829FFJTXhhGKjdmdmqdhmmqhfqv__
MJZPUM91hHGLbZhhIPqdmdmqdhmmqhvnv__
JIfSJL3Hq67CKPhhEEcdmcmqdhmmqhkqv__
LKeSON3Iq77AINhhFEgdmdmqdhmmqhvqv__
MOeZUR3Kp978FKhhFBgdmdmqdhmmqhvqv__
OSaeeX4MiA88CHhhG7idmdmqdhdmqhvov__
RRVacT5MeB98DChhE5odmdmqdhmmqhvkv__
H8CGIB4BKAADKObbCFVWbWbjWbYgkbkQpy_
D6FBHE7ANBBFNReCDIYaeaenaebjnen9s__
9KNGIM5Bp879FJhhDIQamZmqahVmqhvgv__
FJRPPO2GgEDFJLhfB8Jdmdmqdggmqhvfv__
NIPTMMCKX26EPbhhCEDdmdmqdhYmqhvdv__
DCLQOE9LUHGJTXhhIMe694lFdhhmqhtZv__
GCJNOF9JRGFJRVhhILc6C3iLdhfmqhrXv__
EDNRRCANVIHMVZhhJPg8875Hdhjmqhvbv__
FCJNPE9IRGFKRVhhIMb568iHdhfmqhrXv__
JAEIKD6DMBBEMQddEHW9d6dlYdaimdmSr-_
J5ECHB6AMB8FMQddEHXZdZdmZdaimdmSr-_
MDHMOG9HPGFHPTggEHacgcgpc1dlpgpVu__
D6MQSHELUJHKQYhhEFUdldlqdh2mqhuav__
H8CHJC5CLBBDKObbDGVXbXckXbY8lblQpz_
H6CHJB5CKBADKObbCFVXbXbkXbYgkbkQpy_
I4DFFC6DLCBELPccDGWYcYclYcZhlclRqz_
OEMLPLDIQIILTXhhLPedldlqdhimqh1av__
U7KCKJHAcAAGUfhPNTmZmVmqdhmmqhV3v__
I9DIKD6DMCCELPccEHWYdYdlYcZhmcmS4-_
H8CGIB4BKAADKObbCFVWbWbjWbYgkbkQpy_
H8CGIB4BKAADKObbCFVWbWbjWbYgkbkQpy_
"""
